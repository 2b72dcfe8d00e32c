output "name" {
  description = "Name of the repository."
  value       = aws_ecr_repository.this.name
}

output "url" {
  description = "Where to push to and pull from, without a tag."
  value       = aws_ecr_repository.this.repository_url
}

output "force_delete" {
  description = "Whether it is deleted with the images in it."
  value       = aws_ecr_repository.this.force_delete
}
