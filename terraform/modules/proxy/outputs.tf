output "name" {
  description = "Name of the proxy."
  value       = aws_db_proxy.this.name
}

output "host" {
  description = "Host name of the proxy."
  value       = aws_db_proxy.this.endpoint

  # The proxy does not work before it has a target.
  depends_on = [aws_db_proxy_target.this]
}
