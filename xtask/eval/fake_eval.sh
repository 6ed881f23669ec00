#!/bin/sh
# Plays `idembed-eval` for the tests of `cargo xtask eval`: writes the files of a run with scores by plain arithmetic, goes
# on after a kill, and takes its share as a shard. Of its own: `--pause` seconds for each picture, `--fail METHOD/PERSON`
# for a unit that cannot be finished, `--log FILE` that names each picture as it is drawn.
set -eu
if [ "${1-}" != run ]; then
    echo "error: called with $*" >&2
    exit 2
fi
shift
protocol=miniature methods=textual-inversion,sefi people=3 seeds=2 model=mini ablation='' grid='' out='' shard=1/1 pause=0 fail='' log=/dev/null
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        people=2
        shift
        continue
        ;;
    --protocol) protocol=$2 ;;
    --methods) methods=$2 ;;
    --grid) grid=$2 ;;
    --ablation) ablation=$2 ;;
    --identities) people=$2 ;;
    --pictures) seeds=$2 ;;
    --model) model=$2 ;;
    --out) out=$2 ;;
    --shard) shard=$2 ;;
    --pause) pause=$2 ;;
    --fail) fail=$2 ;;
    --log) log=$2 ;;
    --people | --steps | --device | --dtype) ;;
    *)
        echo "error: unexpected $1" >&2
        exit 2
        ;;
    esac
    shift 2
done
case $ablation in
'') ;;
lambda) methods=sefi@lambda=0,sefi@lambda=0.001,sefi@lambda=0.003,sefi@lambda=0.01 ;;
start) methods=sefi@start=person,sefi@start=face ;;
*) echo "error: no ablation $ablation" >&2 && exit 2 ;;
esac
methods=$(echo "$methods" | tr , ' ')
if [ -n "$grid" ]; then
    all=
    for method in $methods; do
        for value in $(echo "${grid#*=}" | tr , ' '); do all="$all $method@${grid%%=*}=$value"; done
    done
    methods=$all
fi

# Words as a JSON list of texts.
listed() {
    list=
    for word; do list="$list${list:+,}\"$word\""; done
    printf '[%s]' "$list"
}

write() {
    cat >"$1.$$"
    mv "$1.$$" "$1"
}

names=
for person in $(seq "$people"); do names="$names person$((2 * person))"; done
all_seeds=
for turn in $(seq "$seeds"); do all_seeds="$all_seeds${all_seeds:+,}$((41 + turn))"; done
mkdir -p "$out"
write "$out/run.json.new$$" <<END
{"format":"idembed-eval/1","protocol":"$protocol","model":"$model","class":"person","methods":$(listed $methods),
 "identities":$(listed $names),"prompts":[
 {"number":0,"category":"scene","prompt":"a photo of {} at the beach","wishes":{"scene":"at the beach"}},
 {"number":1,"category":"scene","prompt":"a photo of {} in a library","wishes":{"scene":"in a library"}},
 {"number":2,"category":"object","prompt":"a photo of {} with a hat","wishes":{"headwear":"hat"}},
 {"number":3,"category":"style","prompt":"a drawing of {}","wishes":{"style":"drawing"}}],
 "seeds":[$all_seeds],"negative":"","judges":{"id":["mini"],"prompt":["mini"],"wishes":"mini"},"followed":"judge","tau":0.245,
 "sampler":{"scheduler":"ddim","steps":20,"guidance":4.0},"version":"0.1.0"}
END
if [ -e "$out/run.json" ] && ! cmp -s "$out/run.json" "$out/run.json.new$$"; then
    rm "$out/run.json.new$$"
    echo "error: another run is in $out" >&2
    exit 1
fi
mv "$out/run.json.new$$" "$out/run.json"
write "$out/references.json" <<END
{"true_pairs":[0.97,0.93,0.95],"strangers":[0.05,0.15,0.1,0.02]}
END

# A PNG of one pixel.
picture() {
    printf '\211PNG\r\n\032\n\000\000\000\rIHDR\000\000\000\001\000\000\000\001\b\002\000\000\000\220wS\336'
    printf '\000\000\000\fIDATx\234c`P\260\000\000\000\252\000q+{\335\331\000\000\000\000IEND\256B`\202'
}

# A number of thousandths as a decimal.
decimal() {
    printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
}

unit() {
    method=$1 person=$2 place=$3
    folder=$out/units/$method/$person
    [ ! -e "$folder/unit.json" ] || return 0
    if [ "$fail" = "$method/$person" ]; then
        echo "error: $method of $person went wrong" >&2
        exit 1
    fi
    mkdir -p "$folder"
    lines=$folder/pictures.jsonl
    touch "$lines"
    # What a kill cut short is drawn again.
    done=$(wc -l <"$lines")
    head -n "$done" "$lines" | write "$lines"
    drawn=0
    for number in 0 1 2 3; do
        case $number in
        0) category=scene prompt='a photo of {} at the beach' ;;
        1) category=scene prompt='a photo of {} in a library' ;;
        2) category=object prompt='a photo of {} with a hat' ;;
        3) category=style prompt='a drawing of {}' ;;
        esac
        for seed in $(echo "$all_seeds" | tr , ' '); do
            drawn=$((drawn + 1))
            [ "$drawn" -gt "$done" ] || continue
            sleep "$pause"
            echo "$method/$person/$number-$seed" >>"$log"
            name=$(printf '%03d-%s' "$number" "$seed")
            path=units/$method/$person/$name
            picture >"$out/$path.png"
            noise=$(((place * 31 + number * 17 + seed * 7) % 50))
            followed=$(((place + number + seed) % 2))
            id=$((350 + place * 40 + noise))
            scores="\"prompt\":$(decimal $((240 + noise / 2 + number))),\"wishes\":$followed,\"followed\":$followed"
            if [ $((noise % 11)) -eq 0 ]; then
                scores="\"id\":0,\"id_p\":0,\"detect\":0,$scores"
            else
                id=$(decimal $id)
                [ $followed -eq 1 ] && product=$id || product=0
                scores="\"id\":$id,\"id_found\":$id,\"id_p\":$product,\"detect\":1,\"copy\":0.1,$scores"
            fi
            attention=null
            if [ "$seed" -eq 42 ]; then
                attention="\"$path-attention.png\""
                picture >"$out/$path-attention.png"
            fi
            printf '{"method":"%s","identity":"%s","partner":null,"swapped":false,"category":"%s","prompt":"%s","number":%d,' \
                "$method" "$person" "$category" "$prompt" "$number" >"$folder/line"
            printf '"seed":%d,"path":"%s.png","attention":%s,"scores":{%s},"seen":{}}\n' \
                "$seed" "$path" "$attention" "$scores" >>"$folder/line"
            cat "$folder/line" >>"$lines"
        done
    done
    rm -f "$folder/line"
    echo "$method of $person: done"
    write "$folder/unit.json" <<END
{"method":"$method","identity":"$person","steps":200,"learn_seconds":$(date +%S.%N | cut -c1-6 | sed 's/^0//'),"draw_seconds":2.5,
 "score_seconds":1,"parameters":7680,"file_bytes":31000,"peak_memory_bytes":900000000,"settings":{"steps":"200"},
 "curve":[{"step":100,"scores":{"id":0.3,"prompt":0.3,"id_p":0.25}},{"step":200,"scores":{"id":0.4,"prompt":0.2,"id_p":0.2}}]}
END
}

place=0
for method in $methods; do
    for person in $names; do
        if [ $((place % ${shard#*/})) -eq $((${shard%/*} - 1)) ]; then
            unit "$method" "$person" "$place"
        fi
        place=$((place + 1))
    done
done
