"""The language as tables: every key with its shape, default and meaning (docs/language.md, sections 1 to 10).

One table serves twice: it reads a document into the frozen values of the core, and it describes itself as JSON Schema
for editors. A module per section of the language.
"""
