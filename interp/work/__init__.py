"""How work is done, whatever the work is: cut up, spread over processes, gone on with, and never half written.

`plan` cuts examples into shards and batches, `executors` and `ray_executor` do tasks here, on Ray or in the jobs of an
array, `batches` halves what the memory does not hold, `threads` has small jobs side by side, `progress` says how long
it will take, and `files` writes what is either whole or not there.
"""
