#!/bin/sh
# A thing or a person on SDXL, from 5 to 20 pictures. What each shows stands in a .txt beside it.
set -e
PICTURES=${1:?usage: sdxl-subject.sh PICTURES [BASE]}
BASE=${2:-stabilityai/stable-diffusion-xl-base-1.0}
limner lora train "$PICTURES" --base "$BASE" --out subject --trigger sks \
    --rank 16 --steps 800 --resolution 1024 --learning-rate 1e-4 --schedule cosine --every 200 \
    --prompts "sks on a beach" --prompts "sks in the snow"
limner draw "sks on a beach" -o subject.png --image-model "$BASE" --lora subject
