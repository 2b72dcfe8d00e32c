output "name" {
  description = "Name of the repository."
  value       = aws_ecr_repository.this.name
}

output "url" {
  description = "URL of the repository, without a tag."
  value       = aws_ecr_repository.this.repository_url
}

output "force_delete" {
  description = "Whether the repository may be deleted while it contains images."
  value       = aws_ecr_repository.this.force_delete
}
