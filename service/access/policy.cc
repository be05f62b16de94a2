#include "service/access/policy.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace planecast {
namespace {

bool IsFor(const BindingSubject& subject, const Peer& peer) {
  if (subject.uid.has_value()) return peer.uid == subject.uid;
  if (!peer.certificate.has_value()) return false;
  // Empty means unset: a certificate may have an empty subject.
  if (!subject.certificate_subject.empty()) {
    return peer.certificate->subject == subject.certificate_subject;
  }
  const std::vector<std::string>& names = peer.certificate->alternative_names;
  return !subject.certificate_san.empty() &&
         std::find(names.begin(), names.end(), subject.certificate_san) != names.end();
}

std::string CertificateName(const CertificateIdentity& certificate) {
  if (!certificate.subject.empty()) return certificate.subject;
  if (!certificate.alternative_names.empty()) return certificate.alternative_names.front();
  return certificate.sha256;
}

/// Who he is, before it is known whether that gives him anything.
Principal Known(const Peer& peer) {
  if (peer.uid.has_value()) return {Principal::Kind::kUid, absl::StrCat("uid:", *peer.uid)};
  if (peer.certificate.has_value()) {
    return {Principal::Kind::kCertificate,
            absl::StrCat("certificate:", CertificateName(*peer.certificate))};
  }
  return {};
}

}  // namespace

AccessPolicy::AccessPolicy(RoleSet roles, std::vector<Binding> bindings)
    : roles_(std::move(roles)), bindings_(std::move(bindings)) {
  for (const Binding& binding : bindings_) {
    if (binding.subject.uid.has_value()) bound_uids_.push_back(*binding.subject.uid);
  }
  std::sort(bound_uids_.begin(), bound_uids_.end());
  bound_uids_.erase(std::unique(bound_uids_.begin(), bound_uids_.end()), bound_uids_.end());
}

Identity AccessPolicy::Identify(const Peer& peer) const {
  Identity identity;
  identity.principal = Known(peer);
  bool bound = false;
  for (const Binding& binding : bindings_) {
    if (!IsFor(binding.subject, peer)) continue;
    identity.rights.Add(binding.grant);
    bound = true;
  }
  if (bound) return identity;

  const bool is_operator = peer.door == Door::kOperatorSocket && peer.uid.has_value();
  const absl::StatusOr<PermissionSet> permissions =
      roles_.Find(is_operator ? "operator" : peer.anonymous_role);
  if (!permissions.ok()) {
    identity.principal.kind = Principal::Kind::kNobody;
    return identity;
  }
  if (!is_operator) identity.principal = {Principal::Kind::kAnonymous, "anonymous"};
  identity.rights.Add({*permissions, DisplayPattern::All()});
  return identity;
}

}  // namespace planecast
