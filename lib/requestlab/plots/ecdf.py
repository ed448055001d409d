"""Figure."""


def ecdf(*runs, predicted=None):
    raise NotImplementedError
