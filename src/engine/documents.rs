//! The documents of a request: one for each version in which policies look at its objects.
//!
//! Semantics: apiserver `plugin/policy/generic/policy_dispatcher.go`, which converts an object to the
//! kind that a policy's rule has matched.

use std::borrow::Cow;

use bumpalo::Bump;

use crate::admission::convert::convert;
use crate::admission::review::{AdmissionRequest, GroupVersionKind, GroupVersionResource};

use super::Options;
use super::activation::Document;
use super::matching::As;

/// The document as it was given, and those made of it.
pub(super) struct Documents<'a> {
    arena: &'a Bump,
    request: &'a AdmissionRequest<'a>,
    options: Options<'a>,
    given: &'a Document<'a>,
    /// By group and version.
    converted: Vec<(As, Result<&'a Document<'a>, String>)>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(
        arena: &'a Bump,
        request: &'a AdmissionRequest<'a>,
        options: Options<'a>,
        given: &'a Document<'a>,
    ) -> Self {
        Documents {
            arena,
            request,
            options,
            given,
            converted: Vec::new(),
        }
    }

    /// Returns the document in a version, or why its objects cannot be had in it.
    pub(super) fn get(&mut self, version: &As) -> Result<&'a Document<'a>, String> {
        if *version == As::Given || (*version == As::Sent && self.request.request_kind.is_none()) {
            return Ok(self.given);
        }
        if let Some((_, known)) = self.converted.iter().find(|(known, _)| known == version) {
            return known.clone();
        }
        let made = self.make(version);
        self.converted.push((version.clone(), made.clone()));
        made
    }

    fn make(&self, version: &As) -> Result<&'a Document<'a>, String> {
        let request = self.request;
        let sent = request.request_resource.as_ref();
        let sent = sent.unwrap_or(&request.resource);
        let (kind, resource) = match version {
            As::Version(group, version) => self.named(group, version, &sent.resource),
            As::Given | As::Sent => {
                let kind = request.request_kind.as_ref().unwrap_or(&request.kind);
                (kind.reborrow(), sent.reborrow())
            }
        };
        let resources = self.options.resources;
        let is_known = !resources
            .equivalents(&sent.group, &sent.resource)
            .is_empty();
        // Where nothing is known of the versions, the webhook's rules have chosen one.
        if kind == request.kind || !is_known {
            return Ok(self.given);
        }
        let api_version = match &*kind.group {
            "" => self.arena.alloc_str(&kind.version),
            group => self.arena.alloc_str(&format!("{group}/{}", kind.version)),
        };
        let versions = resources.versions(&sent.group, &sent.resource);
        let converted = |object| convert(self.arena, object, versions, api_version);
        let objects = converted(self.given.object).zip(converted(self.given.old_object));
        let Some((object, old_object)) = objects else {
            return Err(format!(
                "failed to convert object version: {} of {} cannot be made {api_version} here",
                kind.kind, request.kind.version
            ));
        };
        let request = self.arena.alloc(AdmissionRequest {
            uid: Cow::Borrowed(&request.uid),
            kind,
            resource,
            sub_resource: Cow::Borrowed(&request.sub_resource),
            request_kind: Some(
                request
                    .request_kind
                    .as_ref()
                    .unwrap_or(&request.kind)
                    .reborrow(),
            ),
            request_resource: Some(sent.reborrow()),
            request_sub_resource: Cow::Borrowed(&request.request_sub_resource),
            name: Cow::Borrowed(&request.name),
            namespace: Cow::Borrowed(&request.namespace),
            ..*request
        });
        let document = Document::with(self.arena, request, self.options, [object, old_object]);
        match document {
            Ok(document) => Ok(self.arena.alloc(document)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Kind and resource of a version, in the arena.
    fn named(
        &self,
        group: &str,
        version: &str,
        resource: &'a str,
    ) -> (GroupVersionKind<'a>, GroupVersionResource<'a>) {
        let text = |text: &str| Cow::Borrowed(&*self.arena.alloc_str(text));
        let known = self.options.resources.by_resource(group, version, resource);
        let sub_resource = &*self.request.sub_resource;
        let own = known
            .as_ref()
            .and_then(|known| known.sub_resource(sub_resource)?.kind);
        let kind = match (own, &known) {
            (Some((group, version, kind)), _) => GroupVersionKind {
                group: Cow::Borrowed(group),
                version: Cow::Borrowed(version),
                kind: Cow::Borrowed(kind),
            },
            (None, known) => GroupVersionKind {
                group: text(group),
                version: text(version),
                kind: match known {
                    Some(known) => text(&known.kind),
                    None => Cow::Borrowed(&*self.request.kind.kind),
                },
            },
        };
        let resource = GroupVersionResource {
            group: text(group),
            version: text(version),
            resource: Cow::Borrowed(resource),
        };
        (kind, resource)
    }
}
