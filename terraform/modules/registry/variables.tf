variable "name" {
  description = "Name of the repository."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the images."
  type        = string
}

variable "images_kept" {
  description = "How many tagged images are kept."
  type        = number
}

variable "force_delete" {
  description = "Whether the repository may be destroyed with images in it."
  type        = bool
}
