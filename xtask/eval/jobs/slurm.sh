#!/bin/bash
# A part of `cargo xtask eval` for each task of a Slurm array. What stands after this file is handed on:
#
#   sbatch --array=1-4 xtask/eval/jobs/slurm.sh --methods textual-inversion,sefi --out /shared/run
#
# Submit it in the repository, on a file system that the nodes share, where `idembed-eval` is compiled; README.md beside
# this file tells how.

#SBATCH --job-name=idembed-eval
#SBATCH --array=1-4
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=idembed-eval-%A_%a.log

# A single part that is submitted again (`--array=3`) counts one task: SHARDS tells how many parts there are then.
shard=$SLURM_ARRAY_TASK_ID/${SHARDS:-$SLURM_ARRAY_TASK_COUNT}
exec cargo xtask eval --shard "$shard" "$@"
