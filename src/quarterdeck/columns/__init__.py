"""A batch of rows as columns: numpy buffers on the way in, a compressed Arrow IPC stream on the way out.

    values    what a column's values are: a numpy array, or offsets and items where values differ in length
    batch     rows of one table, as columns; batches put together, cut, repaired
    text      strings made valid UTF-8, a column at a time
    arrow     which Arrow type a column travels as, and a batch as bytes

The agent writes with nanoarrow; the server reads with pyarrow. Nothing here loops over rows.
"""
