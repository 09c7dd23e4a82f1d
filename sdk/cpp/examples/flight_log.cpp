// Fly from pose to pose and log the tiles to draw at each: `flight_log ADDRESS [POSES.csv [WORLD]]`. Logs what examples/flight_log.py logs.
// Poses over a plane have the columns x, y and height.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "terraloom/stream.hpp"

namespace v1 = terraloom::v1;

// Over the Alps and down: degrees, metres above mean sea level.
const char* const FLIGHT =
    "longitude,latitude,height\n"
    "7.66,45.98,60000\n"
    "11.0,47.0,20000\n"
    "9.0,46.9,3000\n";

// The poses of a CSV file with the columns of FLIGHT, or x, y and height in metres on a plane; none if a line has others.
std::vector<v1::View> views(std::istream& csv) {
  std::vector<v1::View> found;
  std::string line;
  std::getline(csv, line);
  const bool plane = line.rfind("x,", 0) == 0;
  while (std::getline(csv, line)) {
    double east, north, height;
    if (std::sscanf(line.c_str(), "%lf,%lf,%lf", &east, &north, &height) != 3) return {};
    v1::View& view = found.emplace_back();
    if (plane) {
      view.mutable_plane()->set_x(east);
      view.mutable_plane()->set_y(north);
      view.mutable_plane()->set_z(height);
    } else {
      view.mutable_geodetic()->set_longitude_degrees(east);
      view.mutable_geodetic()->set_latitude_degrees(north);
      view.mutable_geodetic()->set_height(height);
    }
  }
  return found;
}

v1::OpenSessionRequest opening(const std::string& world) {
  v1::OpenSessionRequest request;
  request.mutable_world()->set_name(world);  // "" is the server's default
  request.mutable_selection()->mutable_screen_space_error()->set_target_pixels(256);
  request.mutable_selection()->set_max_level(8);
  request.mutable_content()->set_segments(32);
  request.mutable_credit()->set_tiles(4);
  request.set_client("flight_log.cpp");
  return request;
}

std::string hex(const std::string& bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) text += {digits[byte >> 4], digits[byte & 15]};
  return text;
}

// Moves to `view` and takes events until all that it asks for is there; counts the tiles that came.
grpc::Status settle(terraloom::Stream& stream, const v1::View& view, std::size_t* tiles) {
  grpc::Status status = stream.move(view);
  v1::ServerEvent event;
  while (status.ok() && !stream.complete()) {
    status = stream.next(&event);
    if (event.has_tile()) ++*tiles;  // here a program would read event.tile().glb()
    if (event.has_error() && !event.error().final()) std::cerr << event.error().message() << '\n';
  }
  return status;
}

grpc::Status fly(const std::string& target, const std::vector<v1::View>& views, const std::string& world) {
  const auto channel = terraloom::connect(target);
  const auto deadline = std::chrono::system_clock::now() + std::chrono::minutes(2);
  terraloom::Stream stream(channel, deadline);
  grpc::Status status = stream.open(opening(world));
  std::size_t received = 0;
  for (std::size_t i = 0; status.ok() && i < views.size(); ++i) {
    if (status = settle(stream, views[i], &received); !status.ok()) break;
    std::cout << "view " << i + 1 << '\n';
    for (const terraloom::TileId& tile : stream.drawn()) std::cout << tile.str() << ' ' << hex(stream.held().at(tile)) << '\n';
  }
  if (!status.ok()) return status;

  v1::BarrierRequest request;
  v1::BarrierResponse barrier;
  request.set_session_id(stream.session().session_id());
  grpc::ClientContext context;
  context.set_deadline(deadline);
  status = v1::Terraloom::NewStub(channel)->Barrier(&context, request, &barrier);
  if (!status.ok()) return status;
  std::cout << "received " << received << ", barrier " << barrier.tiles() << ' ' << hex(barrier.world_hash()) << '\n';
  if (status = stream.close(); !status.ok()) return status;

  terraloom::Stream again(channel, deadline);  // a new session that has what the first one left
  received = 0;
  status = again.open(opening(world), stream.held());
  for (std::size_t i = 0; status.ok() && i < views.size(); ++i) status = settle(again, views[i], &received);
  if (status.ok()) std::cout << "received again " << received << ", drawn " << again.drawn().size() << '\n';
  return status.ok() ? again.close() : status;
}

int main(int argc, char** argv) {
  std::istringstream flight(FLIGHT);
  std::ifstream file(argc > 2 ? argv[2] : "");
  const std::vector<v1::View> path = views(argc > 2 ? static_cast<std::istream&>(file) : flight);
  if (argc < 2 || argc > 4 || path.empty()) {
    std::cerr << "usage: flight_log ADDRESS [POSES.csv [WORLD]], with lines longitude,latitude,height or x,y,height after a header\n";
    return 2;
  }
  const grpc::Status status = fly(argv[1], path, argc > 3 ? argv[3] : "");
  if (!status.ok()) std::cerr << "error: " << status.error_message() << '\n';
  return status.ok() ? 0 : 1;
}
