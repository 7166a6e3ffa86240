# Inclusion probabilities by susieR, an independent program (Wang, Sarkar, Carbonetto and Stephens 2020; Debian: r-cran-susier).
# Rscript pips.R FOLDER OUT: each sub-folder of FOLDER is a design: X.bin and y.bin (doubles, by columns), size.txt (rows, columns, effects).
# OUT gets one line for each design: its name, then the probabilities of its columns.
# tests/test_evidence.py (pytest -m slow -k susier) writes the designs, runs this script and compares; pips.csv is what it gave with susieR 0.12.35.
suppressMessages(library(susieR))
given <- commandArgs(trailingOnly = TRUE)
lines <- sapply(sort(list.dirs(given[1], recursive = FALSE)), function(folder) {
  size <- scan(file.path(folder, "size.txt"), quiet = TRUE)
  X <- matrix(readBin(file.path(folder, "X.bin"), "double", size[1] * size[2]), nrow = size[1])
  y <- readBin(file.path(folder, "y.bin"), "double", size[1])
  fit <- susie(X, y, L = size[3], standardize = TRUE, intercept = TRUE, estimate_residual_variance = TRUE,
               estimate_prior_variance = TRUE, estimate_prior_method = "optim", tol = 1e-9, max_iter = 1000)
  paste(c(basename(folder), sprintf("%.5f", fit$pip)), collapse = ",")
})
writeLines(lines, given[2])
