"""The audit log: who has done what with special rights. It lies below the services, which write it with what they do."""
