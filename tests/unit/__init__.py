"""One module of tests for each module of mecbounce, without a socket."""
