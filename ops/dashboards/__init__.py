"""Grafana dashboards, generated from code: `make dashboards` writes what docker-compose.yml's Grafana reads."""
