"""A small bookshop: a Django project as many are, for lesson 14 to measure."""
