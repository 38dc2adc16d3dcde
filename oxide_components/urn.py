"""URNs of Oxide's own resources, so that their providers can talk to the right row of the engine's display."""

import pulumi


def child_urn(name: str, kind: str, opts: pulumi.ResourceOptions | None) -> pulumi.Output[str]:
    """URN that the engine will give a dynamic resource `oxide:<kind>` of this name under `opts.parent`."""
    parent = opts.parent if opts is not None else None
    urn = pulumi.create_urn(name, f"pulumi-python:dynamic/oxide:{kind}", parent)

    async def value() -> str:
        return await urn.future(with_unknowns=True) or ""

    # As it comes, it depends on the parent and so on all its children, the resource itself included.
    return pulumi.Output(set(), value(), urn.is_known(), urn.is_secret())
