#!/bin/sh
# Plays `idembed compare` for the tests of `cargo xtask eval`: the first line of each picture is what it answers about it.
if [ "$1 $2" != "compare --json" ]; then
    echo "error: called with $*" >&2
    exit 2
fi
shift 2
recogniser=first-found
because='it was found first'
scale='{"same_above": 0.4, "strangers_below": 0.2, "source": "a test"}'
if [ "$1" = --recogniser ]; then
    recogniser=$2
    because='it was asked for'
    scale=null
    shift 2
fi
[ "$1" = -- ] || exit 2
photo=$2
shift 2
read -r face <"$photo" || exit 1
if [ "$face" = nobody ]; then
    printf 'error: there is no face in `%s`\n\nhint: give another photo\n' "$photo" >&2
    exit 1
fi
printf '{"photo": "%s", "recogniser": "%s", "recogniser_because": "%s", "scale": %s, "face": %s, "pictures": [' \
    "$photo" "$recogniser" "$because" "$scale" "$face"
comma=
for picture; do
    read -r fields <"$picture"
    printf '%s{"path": "%s", %s}' "$comma" "$picture" "$fields"
    comma=,
done
printf ']}\n'
