"""Units of work and where they run.

    graph.py           Job, and which jobs of a graph are still to run
    store.py           the content-addressed store on disk in which every job leaves its result
    entries.py         what an entry of the store is
    arrays.py          zarr arrays in that store, with a checksum for each chunk
    outcomes.py        how a job ended, and the function that runs one
    executors.py       `execute`, which runs a graph, and the executor of one process
    dask_executor.py   the executor of many processes or machines
    collective.py      several processes of one command, which run some jobs together
    local_cluster.py   worker processes of this machine
    progress.py        what `execute` reports, and who shows it

Nothing here depends on generators, encoders or metrics. numpy is the heaviest import of these modules; zarr, dask,
distributed and rich are imported inside functions.
"""
