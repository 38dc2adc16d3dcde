"""Installs what the lab runs: a fit tool on PATH is taken, everything else is built from source.

Each directory beside this file is a Go module with one `tool` directive; its go.mod and go.sum pin
the tool and all it is made of. These modules use the standard library only, because they also
make the virtualenv that everything else runs in.
"""
