"""Day files of log lines: blocks, the files, reading them, and the folder that holds them."""
