"""A small bookshop: a Django project as many are, for lesson 11 to measure."""
