"""What `producer up` keeps running on one machine: a durable broker, a dashboard, local workers."""
