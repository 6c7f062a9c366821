"""Batches of rows as columns: numpy buffers as input, a compressed Arrow IPC stream as output.

    values    the values of a column: a numpy array, or offsets and items for values that differ in length
    batch     rows of one table as columns; collecting, joining and cutting batches
    text      columns of strings repaired to valid UTF-8
    arrow     the Arrow type of each column type, and batches as bytes

The agent writes with nanoarrow; the server reads with pyarrow. No code here loops over rows.
"""
