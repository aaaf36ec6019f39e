"""What scripts are made of: the steps that several begin with, and what one of them has too much of.

Every script is a command through `command`, has the `flags` that all have, and keeps what it makes where `runs` says.
Most begin with `asking`; then come `capturing`, `probing`, `sampling` or `patching`. What has the name of a script in
its own is a part of that one.
"""
