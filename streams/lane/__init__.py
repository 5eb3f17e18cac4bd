"""The lane: one transactional checkpoint per partition under Faust."""
