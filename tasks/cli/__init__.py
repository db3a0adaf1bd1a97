"""The commands of this package: options and output. Reading, importing and checking data belong to `tasks.datasets`."""
