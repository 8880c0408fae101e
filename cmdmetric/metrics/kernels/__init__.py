"""Distances of distributions by kernels: the maximum mean discrepancy, CMMD and KID."""
