"""Where the speed comes from: the same images through loops, threads, pools and the pipeline."""
