#!/bin/sh
# A style on SD 1.5, from a folder of 10 to 50 pictures: limner draw … --lora neon-city then draws in it.
# BASE was fetched before (limner models pull NAME), or is a folder as diffusers saves it.
set -e
PICTURES=${1:?usage: sd15-style.sh PICTURES [BASE]}
BASE=${2:-stable-diffusion-v1-5/stable-diffusion-v1-5}
PROMPT="Futuristic city at night, neon lights, flying cars, cyberpunk, ultra detailed"
limner lora train "$PICTURES" --base "$BASE" --out neon-city --trigger neoncity \
    --rank 8 --steps 1500 --batch 1 --learning-rate 1e-4 --every 250 --prompts "neoncity, $PROMPT"
limner draw "neoncity, $PROMPT" -o neon-city.png --image-model "$BASE" --lora neon-city:0.8
