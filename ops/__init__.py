"""What operators deploy beside Weelo: dashboards, alert rules, Kubernetes manifests, and the code that generates them."""
