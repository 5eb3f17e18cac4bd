"""Writes the dashboards to where docker-compose.yml's Grafana reads them: `make dashboards`."""

from __future__ import annotations

from ops.dashboards.write import write

if __name__ == "__main__":
    for path in write():
        print(path)
