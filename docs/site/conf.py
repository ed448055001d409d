"""Sphinx's settings for `make site`; build.py puts the sources together, and this file beside them."""

project = "requestlab"
author = "the requestlab authors"
copyright = "the requestlab authors; code BSD-3-Clause, text of the lessons CC BY 4.0"
html_title = "requestlab"
root_doc = "README"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["report"]
html_theme = "furo"  # light and dark
html_extra_path = ["extra"]
html_copy_source = False
html_show_sourcelink = False
nb_execution_mode = "off"  # they come executed
nb_output_stderr = "remove"
nb_render_markdown_format = "myst"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False}
suppress_warnings = ["myst.header"]
