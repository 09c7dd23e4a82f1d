// A viewpoint's stream: views go up, tiles come down. Blocking, one thread, no exceptions: calls answer with a grpc::Status.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "terraloom/v1/terraloom.grpc.pb.h"

namespace terraloom {

// Address of a tile, ordered as Python orders it: level, column eastward, row southward.
struct TileId {
  std::uint32_t z;
  std::int64_t x, y;

  TileId(const v1::TileId& id) : z(id.z()), x(id.x()), y(id.y()) {}
  bool operator<(const TileId& other) const { return std::tie(z, x, y) < std::tie(other.z, other.x, other.y); }
  std::string str() const { return std::to_string(z) + "/" + std::to_string(x) + "/" + std::to_string(y); }
};

// Content hash of each tile that the client has.
using Held = std::map<TileId, std::string>;

// A channel to `target` ("host:port") for messages of any size that a server sends; gRPC's own limit is 4 MiB.
inline std::shared_ptr<grpc::Channel> connect(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

class Stream {
 public:
  // At `deadline` the stream ends with DEADLINE_EXCEEDED, whatever it waits for.
  using Time = std::chrono::system_clock::time_point;
  explicit Stream(const std::shared_ptr<grpc::Channel>& channel, Time deadline = Time::max()) : stub_(v1::Terraloom::NewStub(channel)) {
    context_.set_deadline(deadline);
  }

  // Opens a session. Tiles of `have` are not sent again while their hashes agree.
  grpc::Status open(v1::OpenSessionRequest opening, const Held& have = {}) {
    opening.set_protocol_version(v1::PROTOCOL_VERSION_1);
    for (const auto& [tile, hash] : have) {
      v1::HeldTile* held = opening.add_have();
      held->mutable_id()->set_z(tile.z);
      held->mutable_id()->set_x(tile.x);
      held->mutable_id()->set_y(tile.y);
      held->set_content_hash(hash);
    }
    held_ = have;
    call_ = stub_->Stream(&context_);
    v1::ClientMessage message;
    *message.mutable_open() = std::move(opening);
    v1::ServerEvent event;
    if (!call_->Write(message) || !call_->Read(&event)) return ended();
    session_ = event.opened();
    return grpc::Status::OK;
  }

  // Makes `view` the newest; numbers it.
  grpc::Status move(v1::View view) {
    view.set_sequence(++sequence_);
    v1::ClientMessage message;
    *message.mutable_view() = std::move(view);
    return call_->Write(message) ? grpc::Status::OK : ended();
  }

  // Waits for the next event. The tile that the last call gave counts as applied now: its credit returns to the server.
  grpc::Status next(v1::ServerEvent* event) {
    if (unacknowledged_ != 0) {
      v1::ClientMessage message;
      message.mutable_ack()->add_deliveries(std::exchange(unacknowledged_, 0));
      if (!call_->Write(message)) return ended();
    }
    if (!call_->Read(event)) return ended();
    if (event->has_tile()) {
      held_[event->tile().id()] = event->tile().content_hash();
      unacknowledged_ = event->tile().delivery();
    }
    for (const v1::TileId& id : event->visible().hide()) drawn_.erase(id);
    for (const v1::TileId& id : event->visible().show()) drawn_.insert(id);
    for (const v1::TileId& id : event->remove().tiles()) held_.erase(id);
    if (event->has_visible()) complete_ = event->visible().complete() ? event->visible().view_sequence() : 0;
    return grpc::Status::OK;
  }

  // Ends the session, once the server has heard all that was said.
  grpc::Status close() {
    call_->WritesDone();
    v1::ServerEvent event;
    while (call_->Read(&event)) {
    }
    return call_->Finish();
  }

  const v1::SessionOpened& session() const { return session_; }      // defaults filled in
  const Held& held() const { return held_; }                        // the `have` of a later stream
  const std::set<TileId>& drawn() const { return drawn_; }          // the tiles to draw
  bool complete() const { return complete_ == sequence_; }          // `drawn` is all that the newest view asks for

 private:
  // Why the server ended the stream.
  grpc::Status ended() {
    grpc::Status status = call_->Finish();
    return status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server ended the stream") : status;
  }

  std::unique_ptr<v1::Terraloom::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ClientMessage, v1::ServerEvent>> call_;
  v1::SessionOpened session_;
  Held held_;
  std::set<TileId> drawn_;
  std::uint64_t sequence_ = 0, complete_ = 0, unacknowledged_ = 0;
};

}  // namespace terraloom
