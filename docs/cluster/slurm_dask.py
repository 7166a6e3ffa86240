"""A batch on SLURM: dask-jobqueue starts the workers as jobs, and they go away when the batch ends.

Needs tfbpmodeling[cluster] and dask-jobqueue, and a file system that all nodes share. Run it on the login node, or in a small job:
    python slurm_dask.py responses.csv binding.csv results
"""

import sys

from dask_jobqueue import SLURMCluster

from tfbpmodeling import BatchConfig, run_batch


def main(response_file: str, predictors_file: str, output_dir: str) -> int:
    threads = 2  # of each TF
    workers = SLURMCluster(
        processes=1,  # one worker for each job
        cores=1,  # one task at a time for each worker
        job_cpu=threads,
        memory="4GB",
        walltime="08:00:00",
        # queue="short", account="my_lab",
    )
    with workers:
        workers.adapt(minimum=1, maximum=20)
        config = BatchConfig(
            response_file=response_file,
            predictors_file=predictors_file,
            output_dir=output_dir,
            random_state=42,
            n_cpus=threads,
            n_jobs=20,  # as many TFs at once as there may be workers
            scheduler=workers.scheduler_address,
        )
        batch = run_batch(config)
    for name, reason in batch.failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return 1 if batch.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
