//! Pure decisions: placement, rollout, restart, addresses, host convergence and the plan linter.
