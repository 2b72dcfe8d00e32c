output "arn" {
  description = "ARN of the requested certificate; it may not be issued yet."
  value       = aws_acm_certificate.this.arn

  # Without the record the certificate is never issued, and waiting for it would time out.
  depends_on = [aws_route53_record.validation]
}
