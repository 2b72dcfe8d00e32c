output "arn" {
  description = "ARN of the requested certificate; it may not be issued yet."
  value       = aws_acm_certificate.this.arn

  # whoever waits for it to be issued would wait in vain without the record
  depends_on = [aws_route53_record.validation]
}
