//! Reads the envelope of a review key by key, so that a key given twice is told apart.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor,
};
use serde_json::value::RawValue;

use super::{
    API_VERSION, AdmissionRequest, GroupVersionKind, GroupVersionResource, KIND, Operation,
    ReviewError,
};

/// A review as read, before it is known to be one.
///
/// In the drafts the outer `Option` says whether the key was there, the inner one whether it was
/// `null`.
#[derive(Default)]
pub(super) struct ReviewDraft<'a> {
    api_version: Option<Text<'a>>,
    kind: Option<Text<'a>>,
    request: Option<Option<RequestDraft<'a>>>,
    response: Option<Option<&'a RawValue>>,
}

impl<'a> ReviewDraft<'a> {
    /// Returns the request, if this is a review of one in a version that is answered.
    pub(super) fn check(self) -> Result<RequestDraft<'a>, ReviewError> {
        let kind = self.kind.unwrap_or_default().0;
        let api_version = self.api_version.unwrap_or_default().0;
        if kind != KIND || !api_version.starts_with("admission.k8s.io/") {
            let found = match (&*kind, &*api_version) {
                ("", _) => "an object without `kind`".to_owned(),
                (_, "") => format!("an object `{kind}` without `apiVersion`"),
                _ => format!("a `{kind}` of `{api_version}`"),
            };
            return Err(ReviewError::NotAReview { found });
        }
        if api_version != API_VERSION {
            return Err(ReviewError::WrongApiVersion {
                found: api_version.into_owned(),
            });
        }
        match (self.request.flatten(), self.response.flatten()) {
            (Some(request), _) => Ok(request),
            (None, Some(_)) => Err(ReviewError::ResponseInsteadOfRequest),
            (None, None) => Err(ReviewError::NoRequest),
        }
    }
}

/// A request as read, before it is known to be whole.
#[derive(Default)]
pub(super) struct RequestDraft<'a> {
    uid: Option<Text<'a>>,
    kind: Option<Option<Triple<'a>>>,
    resource: Option<Option<Triple<'a>>>,
    sub_resource: Option<Text<'a>>,
    request_kind: Option<Option<Triple<'a>>>,
    request_resource: Option<Option<Triple<'a>>>,
    request_sub_resource: Option<Text<'a>>,
    name: Option<Text<'a>>,
    namespace: Option<Text<'a>>,
    operation: Option<Text<'a>>,
    user_info: Option<Option<&'a RawValue>>,
    object: Option<Option<&'a RawValue>>,
    old_object: Option<Option<&'a RawValue>>,
    dry_run: Option<Option<bool>>,
    options: Option<Option<&'a RawValue>>,
}

impl<'a> RequestDraft<'a> {
    /// Returns the request, if nothing is missing.
    pub(super) fn check(self) -> Result<AdmissionRequest<'a>, ReviewError> {
        let missing = |field| ReviewError::MissingField { field };
        let uid = self.uid.unwrap_or_default().0;
        if uid.is_empty() {
            return Err(missing("request.uid"));
        }
        let kind = self.kind.flatten().unwrap_or_default().into_kind();
        if kind.version.is_empty() || kind.kind.is_empty() {
            return Err(missing("request.kind"));
        }
        let resource = self.resource.flatten().unwrap_or_default().into_resource();
        if resource.version.is_empty() || resource.resource.is_empty() {
            return Err(missing("request.resource"));
        }
        let operation = self.operation.unwrap_or_default().0;
        if operation.is_empty() {
            return Err(missing("request.operation"));
        }
        Ok(AdmissionRequest {
            uid,
            kind,
            resource,
            sub_resource: self.sub_resource.unwrap_or_default().0,
            request_kind: self.request_kind.flatten().map(Triple::into_kind),
            request_resource: self.request_resource.flatten().map(Triple::into_resource),
            request_sub_resource: self.request_sub_resource.unwrap_or_default().0,
            name: self.name.unwrap_or_default().0,
            namespace: self.namespace.unwrap_or_default().0,
            operation: Operation::from_wire(&operation).ok_or_else(|| {
                ReviewError::UnknownOperation {
                    found: operation.into_owned(),
                }
            })?,
            user_info: object("request.userInfo", self.user_info)?,
            object: object("request.object", self.object)?,
            old_object: object("request.oldObject", self.old_object)?,
            dry_run: self.dry_run.flatten().unwrap_or_default(),
            options: object("request.options", self.options)?,
        })
    }
}

fn object<'a>(
    field: &'static str,
    raw: Option<Option<&'a RawValue>>,
) -> Result<Option<&'a RawValue>, ReviewError> {
    match raw.flatten() {
        Some(raw) if !raw.get().starts_with('{') => Err(ReviewError::NotAnObject { field }),
        raw => Ok(raw),
    }
}

/// Group, version and kind or resource.
#[derive(Default)]
struct Triple<'a> {
    group: Option<Text<'a>>,
    version: Option<Text<'a>>,
    last: Option<Text<'a>>,
}

impl<'a> Triple<'a> {
    fn into_kind(self) -> GroupVersionKind<'a> {
        GroupVersionKind {
            group: self.group.unwrap_or_default().0,
            version: self.version.unwrap_or_default().0,
            kind: self.last.unwrap_or_default().0,
        }
    }

    fn into_resource(self) -> GroupVersionResource<'a> {
        GroupVersionResource {
            group: self.group.unwrap_or_default().0,
            version: self.version.unwrap_or_default().0,
            resource: self.last.unwrap_or_default().0,
        }
    }
}

/// A string of the envelope; `null` is the empty string, as it is for Go's decoder.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Text<'de>, E> {
        Ok(Text::default())
    }
}

/// What became of the value of a key.
pub(super) enum Field {
    /// It was read.
    Read,
    /// The key was there before; the value was not read.
    Duplicate,
    /// The key has no meaning here; the value was not read.
    Unknown,
}

/// An object of the envelope that is filled key by key.
pub(super) trait Draft<'de>: Default {
    fn field<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
        duplicate: &Cell<Option<String>>,
    ) -> Result<Field, A::Error>;
}

fn value<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    slot: &mut Option<T>,
    map: &mut A,
) -> Result<Field, A::Error> {
    seeded(slot, map, PhantomData)
}

fn seeded<'de, A: MapAccess<'de>, S: DeserializeSeed<'de>>(
    slot: &mut Option<S::Value>,
    map: &mut A,
    seed: S,
) -> Result<Field, A::Error> {
    if slot.is_some() {
        return Ok(Field::Duplicate);
    }
    *slot = Some(map.next_value_seed(seed)?);
    Ok(Field::Read)
}

impl<'de> Draft<'de> for ReviewDraft<'de> {
    fn field<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
        duplicate: &Cell<Option<String>>,
    ) -> Result<Field, A::Error> {
        match key {
            "apiVersion" => value(&mut self.api_version, map),
            "kind" => value(&mut self.kind, map),
            "request" => seeded(&mut self.request, map, Fields::new(duplicate)),
            "response" => value(&mut self.response, map),
            _ => Ok(Field::Unknown),
        }
    }
}

impl<'de> Draft<'de> for RequestDraft<'de> {
    fn field<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
        duplicate: &Cell<Option<String>>,
    ) -> Result<Field, A::Error> {
        let fields = || Fields::new(duplicate);
        match key {
            "uid" => value(&mut self.uid, map),
            "kind" => seeded(&mut self.kind, map, fields()),
            "resource" => seeded(&mut self.resource, map, fields()),
            "subResource" => value(&mut self.sub_resource, map),
            "requestKind" => seeded(&mut self.request_kind, map, fields()),
            "requestResource" => seeded(&mut self.request_resource, map, fields()),
            "requestSubResource" => value(&mut self.request_sub_resource, map),
            "name" => value(&mut self.name, map),
            "namespace" => value(&mut self.namespace, map),
            "operation" => value(&mut self.operation, map),
            "userInfo" => value(&mut self.user_info, map),
            "object" => value(&mut self.object, map),
            "oldObject" => value(&mut self.old_object, map),
            "dryRun" => value(&mut self.dry_run, map),
            "options" => value(&mut self.options, map),
            _ => Ok(Field::Unknown),
        }
    }
}

impl<'de> Draft<'de> for Triple<'de> {
    fn field<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
        _: &Cell<Option<String>>,
    ) -> Result<Field, A::Error> {
        match key {
            "group" => value(&mut self.group, map),
            "version" => value(&mut self.version, map),
            "kind" | "resource" => value(&mut self.last, map),
            _ => Ok(Field::Unknown),
        }
    }
}

/// Reads an object of the envelope, or `null` as `None`.
pub(super) struct Fields<'f, T> {
    /// The key that is there twice, if that is why reading failed.
    duplicate: &'f Cell<Option<String>>,
    draft: PhantomData<T>,
}

impl<'f, T> Fields<'f, T> {
    pub(super) fn new(duplicate: &'f Cell<Option<String>>) -> Self {
        Fields {
            duplicate,
            draft: PhantomData,
        }
    }
}

impl<'de, T: Draft<'de>> DeserializeSeed<'de> for Fields<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Draft<'de>> Visitor<'de> for Fields<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<T>, A::Error> {
        let mut draft = T::default();
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            match draft.field(&key, &mut map, self.duplicate)? {
                Field::Read => {}
                Field::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
                Field::Duplicate => {
                    self.duplicate.set(Some(key.into_owned()));
                    return Err(A::Error::custom("duplicate key"));
                }
            }
        }
        Ok(Some(draft))
    }
}
