#!/bin/sh
# The server that comes with transformers, with a small model that reads text. The tests of this
# project run it with random weights; not tried with these.
# pip install 'transformers[serving]'
exec transformers serve Qwen/Qwen3-0.6B --host 127.0.0.1 --port 8000
