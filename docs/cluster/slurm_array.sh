#!/usr/bin/env bash
# One SLURM task for each perturbed TF, with the single-run command. Submit with:
#   sbatch --array=1-$(wc -l < tfs.txt) slurm_array.sh
# tfs.txt holds one TF per line. The folders must be on a file system that all nodes share.
#SBATCH --job-name=tfbpmodeling
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=02:00:00
#SBATCH --output=slurm-%A_%a.log
set -eu

responses=${RESPONSES:-responses.csv}
binding=${BINDING:-binding.csv}
results=${RESULTS:-results}

tf=$(sed -n "${SLURM_ARRAY_TASK_ID}p" tfs.txt)

# A task that SLURM starts again finds the directory whole, and has nothing to do.
if [ -f "$results/$tf/run.json" ]; then
    echo "$tf is done"
    exit 0
fi

exec tfbpmodeling linear_perturbation_binding_modeling \
    --response_file "$responses" \
    --predictors_file "$binding" \
    --perturbed_tf "$tf" \
    --output_dir "$results" \
    --random_state 42 \
    --n_cpus "${SLURM_CPUS_PER_TASK:-1}"
