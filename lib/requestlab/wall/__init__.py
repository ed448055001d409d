"""The wall: what a room of machines found, claim by claim, on one page that changes as ledgers come in."""

DATABASE_VARIABLE = "REQUESTLAB_WALL_DATABASE"
CODE_VARIABLE = "REQUESTLAB_WALL_CODE"
TITLE_VARIABLE = "REQUESTLAB_WALL_TITLE"
"""By these the settings of the Django project are told the file, the code and the title."""
