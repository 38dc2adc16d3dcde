"""Options of a component's children."""

from typing import Any

import pulumi


def child_options(
    parent: pulumi.Resource, opts: pulumi.ResourceOptions | None, **options: Any
) -> pulumi.ResourceOptions:
    """
    Options for a child of `parent`, which was made with `opts`.

    Pulumi hands a component's `depends_on` to nobody; here its children wait for the same resources, so that a
    refused cluster identity stops them all.
    """
    own = pulumi.ResourceOptions(parent=parent, **options)
    inherited = pulumi.ResourceOptions(depends_on=opts.depends_on if opts else None)
    return pulumi.ResourceOptions.merge(inherited, own)
