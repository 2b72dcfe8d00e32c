//! Of the services with one or two types each.

use aws_sdk_kms::types::KeyState;
use aws_smithy_types::DateTime;

use super::{BTreeMap, Candidate, Finder, Standing, allowed, known, partition, tags};
use crate::{
    aws::classify,
    task::{ErrorExt, Result},
};

impl Finder<'_> {
    pub(super) async fn repository(&self, name: &str) -> Result<Vec<Candidate>> {
        let ecr = aws_sdk_ecr::Client::new(&self.aws);
        let doing = || format!("look for repository `{name}`");
        let found = known(ecr.describe_repositories().repository_names(name).send().await).doing(doing())?;
        let found = found.and_then(|found| found.repositories?.into_iter().next());
        let Some((one, arn)) = found.and_then(|one| Some((one.clone(), one.repository_arn?))) else {
            return Ok(Vec::new());
        };
        let tagged = known(ecr.list_tags_for_resource().resource_arn(&arn).send().await).doing(doing())?;
        let list = tagged.and_then(|tagged| tagged.tags).unwrap_or_default();
        Ok(vec![Candidate {
            id: name.to_owned(),
            arn: Some(arn),
            created: one.created_at().map(DateTime::secs),
            tags: Some(tags(list.iter().map(|tag| (Some(tag.key()), Some(tag.value()))))),
            standing: Standing::Ready,
        }])
    }

    /// Only one of the own account is listed.
    pub(super) async fn bucket(&self, name: &str) -> Result<Vec<Candidate>> {
        let s3 = aws_sdk_s3::Client::new(&self.aws);
        let doing = || format!("look for bucket `{name}`");
        let listed = s3.list_buckets().prefix(name).send().await.map_err(classify).doing(doing())?;
        let Some(one) = listed.buckets().iter().find(|one| one.name() == Some(name)) else {
            return Ok(Vec::new());
        };
        // A bucket without tags has no set of them. Terraform tags one only after its creation; until then the account
        // in its name and the time of its creation prove whose it is.
        let tagged = known(s3.get_bucket_tagging().bucket(name).send().await).doing(doing())?;
        let list = tagged.map(|tagged| tagged.tag_set).filter(|list| !list.is_empty());
        Ok(vec![Candidate {
            id: name.to_owned(),
            arn: Some(format!("arn:{}:s3:::{name}", partition(self.aws_region))),
            created: one.creation_date().map(DateTime::secs),
            tags: list.map(|list| tags(list.iter().map(|tag| (Some(tag.key()), Some(tag.value()))))),
            standing: Standing::Ready,
        }])
    }

    /// AWS may list a secret up to five minutes late. One that is missed is created again under another name; a teardown
    /// lists what remains by its tags.
    pub(super) async fn secrets(&self, prefix: &str) -> Result<Vec<Candidate>> {
        use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SecretListEntry};
        let secrets = aws_sdk_secretsmanager::Client::new(&self.aws);
        let named = Filter::builder().key(FilterNameStringType::Name).values(prefix).build();
        let mut pages = secrets.list_secrets().filters(named).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(classify).doing(format!("list the secrets `{prefix}*`"))?;
            found.extend(page.secret_list.unwrap_or_default());
        }
        let is_it = |one: &SecretListEntry| {
            one.deleted_date().is_none() && one.name().is_some_and(|name| name.starts_with(prefix))
        };
        let candidate = |one: SecretListEntry| {
            let arn = one.arn()?.to_owned();
            Some(Candidate {
                id: arn.clone(),
                arn: Some(arn),
                created: one.created_date().map(DateTime::secs),
                tags: Some(tags(one.tags().iter().map(|tag| (tag.key(), tag.value())))),
                standing: Standing::Ready,
            })
        };
        Ok(found.into_iter().filter(is_it).filter_map(candidate).collect())
    }

    pub(super) async fn log_group(&self, name: &str) -> Result<Vec<Candidate>> {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.aws);
        let doing = || format!("look for log group `{name}`");
        let found = logs.describe_log_groups().log_group_name_prefix(name).send().await;
        let found = found.map_err(classify).doing(doing())?.log_groups.unwrap_or_default();
        let Some(one) = found.into_iter().find(|one| one.log_group_name() == Some(name)) else {
            return Ok(Vec::new());
        };
        let arn = self.arn("logs", &format!("log-group:{name}"));
        let tagged = known(logs.list_tags_for_resource().resource_arn(&arn).send().await).doing(doing())?;
        let tags = tagged.and_then(|tagged| tagged.tags).unwrap_or_default();
        Ok(vec![Candidate {
            id: name.to_owned(),
            arn: Some(arn),
            created: one.creation_time().map(|millis| millis / 1000),
            tags: Some(tags.into_iter().collect()),
            standing: Standing::Ready,
        }])
    }

    pub(super) async fn role(&self, name: &str) -> Result<Vec<Candidate>> {
        let iam = aws_sdk_iam::Client::new(&self.aws);
        let found = known(iam.get_role().role_name(name).send().await);
        let found = found.doing(format!("look for role `{name}`"))?.and_then(|found| found.role);
        Ok(found.map_or_else(Vec::new, |one| {
            vec![Candidate {
                id: name.to_owned(),
                arn: Some(one.arn().to_owned()),
                created: Some(one.create_date().secs()),
                tags: Some(tags(one.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))))),
                standing: Standing::Ready,
            }]
        }))
    }

    pub(super) async fn oidc_provider(&self, url: &str) -> Result<Vec<Candidate>> {
        let iam = aws_sdk_iam::Client::new(&self.aws);
        let host = url.trim_start_matches("https://");
        let arn = format!("arn:{}:iam::{}:oidc-provider/{host}", partition(self.aws_region), self.account);
        let found = known(iam.get_open_id_connect_provider().open_id_connect_provider_arn(&arn).send().await);
        let found = found.doing(format!("look for the identity provider of `{url}`"))?;
        Ok(found.map_or_else(Vec::new, |one| {
            vec![Candidate {
                id: arn.clone(),
                arn: Some(arn.clone()),
                created: one.create_date().map(DateTime::secs),
                tags: Some(tags(one.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))))),
                standing: Standing::Ready,
            }]
        }))
    }

    async fn key_tags(&self, id: &str) -> Result<Option<BTreeMap<String, String>>> {
        let kms = aws_sdk_kms::Client::new(&self.aws);
        let pages = kms.list_resource_tags().key_id(id).into_paginator().items().send();
        let list = allowed(pages.collect::<std::result::Result<Vec<_>, _>>().await)?;
        Ok(list.map(|list| tags(list.iter().map(|tag| (Some(tag.tag_key()), Some(tag.tag_value()))))))
    }

    async fn key(&self, id: &str) -> Result<Option<Candidate>> {
        let kms = aws_sdk_kms::Client::new(&self.aws);
        let described = allowed(kms.describe_key().key_id(id).send().await)?;
        let is_usable = |key: &aws_sdk_kms::types::KeyMetadata| {
            key.key_manager() == Some(&aws_sdk_kms::types::KeyManagerType::Customer)
                && key.key_state() == Some(&KeyState::Enabled)
        };
        let Some(key) = described.and_then(|found| found.key_metadata).filter(is_usable) else {
            return Ok(None);
        };
        let Some(tagged) = self.key_tags(key.key_id()).await? else { return Ok(None) };
        Ok(Some(Candidate {
            id: key.key_id().to_owned(),
            arn: key.arn().map(str::to_owned),
            created: key.creation_date().map(DateTime::secs),
            tags: Some(tagged),
            standing: Standing::Ready,
        }))
    }

    pub(super) async fn keys(&self, name: &str) -> Result<Vec<Candidate>> {
        let kms = aws_sdk_kms::Client::new(&self.aws);
        let doing = || format!("look for a key with the name `{name}`");
        let pages = kms.list_keys().into_paginator().items().send();
        let listed = pages.collect::<Result<Vec<_>, _>>().await.map_err(classify).doing(doing())?;
        let mut all = Vec::new();
        for id in listed.into_iter().filter_map(|key| key.key_id) {
            let found = self.key(&id).await.doing(doing())?;
            let is_named = |key: &Candidate| {
                key.tags.as_ref().and_then(|tags| tags.get("Name")).is_some_and(|tag| tag == name)
            };
            all.extend(found.filter(is_named));
        }
        Ok(all)
    }

    /// An alias has no tags and no time of its own that tells more than its key's tags.
    pub(super) async fn alias(&self, name: &str) -> Result<Vec<Candidate>> {
        let key = self.key(name).await.doing(format!("look for key alias `{name}`"))?;
        Ok(key
            .map(|key| Candidate { id: name.to_owned(), arn: None, created: None, ..key })
            .into_iter()
            .collect())
    }

    pub(super) async fn certificates(&self, domain: &str) -> Result<Vec<Candidate>> {
        let acm = aws_sdk_acm::Client::new(&self.aws);
        let doing = || format!("look for a certificate of `{domain}`");
        let pages = acm.list_certificates().into_paginator().items().send();
        let listed = pages.collect::<Result<Vec<_>, _>>().await.map_err(classify).doing(doing())?;
        let mut all = Vec::new();
        for arn in listed
            .into_iter()
            .filter(|one| one.domain_name() == Some(domain))
            .filter_map(|one| one.certificate_arn)
        {
            let described =
                known(acm.describe_certificate().certificate_arn(&arn).send().await).doing(doing())?;
            let Some(one) = described.and_then(|found| found.certificate) else { continue };
            let tagged =
                known(acm.list_tags_for_certificate().certificate_arn(&arn).send().await).doing(doing())?;
            let list = tagged.and_then(|tagged| tagged.tags).unwrap_or_default();
            all.push(Candidate {
                id: arn.clone(),
                arn: Some(arn),
                created: one.created_at().map(DateTime::secs),
                tags: Some(tags(list.iter().map(|tag| (Some(tag.key()), tag.value())))),
                standing: Standing::Ready,
            });
        }
        Ok(all)
    }

    pub(super) async fn trail(&self, name: &str) -> Result<Vec<Candidate>> {
        let trails = aws_sdk_cloudtrail::Client::new(&self.aws);
        let doing = || format!("look for trail `{name}`");
        // Without the copies that a trail of another region has here.
        let listed = trails.describe_trails().trail_name_list(name).include_shadow_trails(false).send().await;
        let listed = listed.map_err(classify).doing(doing())?.trail_list.unwrap_or_default();
        let Some(arn) = listed.into_iter().find_map(|one| one.trail_arn) else { return Ok(Vec::new()) };
        let tagged = known(trails.list_tags().resource_id_list(&arn).send().await).doing(doing())?;
        let lists = tagged.and_then(|tagged| tagged.resource_tag_list).unwrap_or_default();
        let list = lists.into_iter().flat_map(|one| one.tags_list.unwrap_or_default());
        let list: Vec<_> = list.collect();
        let tags = tags(list.iter().map(|tag| (Some(tag.key()), tag.value())));
        Ok(vec![Candidate { id: arn.clone(), arn: Some(arn), tags: Some(tags), ..Candidate::default() }])
    }
}
