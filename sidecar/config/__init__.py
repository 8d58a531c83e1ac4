"""What an operator writes: files and environment, read strictly, once, at start.

Reading order: ``build`` (files to the core's values), ``settings`` and ``catalogue_file`` (every
key), ``checks`` (what must fit together), ``validate`` (what only trying shows).
"""
