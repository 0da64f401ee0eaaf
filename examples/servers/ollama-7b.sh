#!/bin/sh
# Qwen2.5-VL-7B in 4 bits with Ollama. Not tried by this project. It lists every model that was
# ever pulled, so name one: --chat-model qwen2.5vl:7b
# Its default context is short, and what does not fit is cut without a word. Where Ollama already
# runs as a service, set the variable there.
export OLLAMA_HOST=127.0.0.1:11434 OLLAMA_CONTEXT_LENGTH=16384
ollama serve &
server=$!
trap 'kill "$server"' EXIT INT TERM
until ollama list >/dev/null 2>&1; do sleep 1; done
ollama pull qwen2.5vl:7b
wait "$server"
