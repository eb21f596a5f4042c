"""The providers that a connection may be at, a module for each: the options that an operator writes, and the adapter
that is made of them. `known` names them all; docs/adding-a-provider.md adds one.
"""
