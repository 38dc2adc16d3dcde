"""A Python language host for a Pulumi that came without one.

A Pulumi release brings `pulumi-language-python` and `pulumi-resource-pulumi-python`; a CLI built
from its Go module does not. These modules stand in for both: the first speaks the engine's
LanguageRuntime protocol and runs programs and plugins, the second runs the SDK's dynamic provider.
Programs see no difference.
"""
