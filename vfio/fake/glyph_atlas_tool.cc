// Writes glyph_atlas.cc from font files, so that no font is needed at run time.
//
//   glyph_atlas_tool OUTPUT (FONT_FILE SIZE_PX)...
#include <ft2build.h>
#include FT_FREETYPE_H

#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "vfio/fake/glyph_atlas.h"

namespace planecast {
namespace {

/// FreeType's unit of length.
constexpr int kUnitsPerPx = 64;

struct LibraryDeleter {
  void operator()(FT_Library library) const { FT_Done_FreeType(library); }
};
using Library = std::unique_ptr<FT_LibraryRec_, LibraryDeleter>;
struct FaceDeleter {
  void operator()(FT_Face face) const { FT_Done_Face(face); }
};
using Face = std::unique_ptr<FT_FaceRec_, FaceDeleter>;

Face OpenFace(FT_Library library, const char* path, unsigned size_px) {
  FT_Face face = nullptr;
  if (FT_New_Face(library, path, 0, &face) != 0) return nullptr;
  Face owned(face);
  return FT_Set_Pixel_Sizes(face, 0, size_px) == 0 ? std::move(owned) : nullptr;
}

bool WriteFace(FT_Face face, size_t index, std::ostream& out, std::ostream& table) {
  std::vector<uint8_t> coverage;
  const FT_Size_Metrics& metrics = face->size->metrics;
  table << "    {.ascent_px = " << metrics.ascender / kUnitsPerPx
        << ", .line_height_px = " << metrics.height / kUnitsPerPx << ", .glyphs = {{\n";
  for (int c = kGlyphFirst; c <= kGlyphLast; ++c) {
    if (FT_Load_Char(face, c, FT_LOAD_RENDER | FT_LOAD_TARGET_LIGHT) != 0) return false;
    const FT_GlyphSlot slot = face->glyph;
    const FT_Bitmap& bitmap = slot->bitmap;
    table << "        {.offset = " << coverage.size() << ", .width = " << bitmap.width
          << ", .height = " << bitmap.rows << ", .left = " << slot->bitmap_left
          << ", .top = " << slot->bitmap_top << ", .advance = " << slot->advance.x / kUnitsPerPx
          << "},\n";
    for (unsigned y = 0; y < bitmap.rows; ++y) {
      const uint8_t* row = bitmap.buffer + static_cast<ptrdiff_t>(y) * bitmap.pitch;
      coverage.insert(coverage.end(), row, row + bitmap.width);
    }
  }
  table << "    }}, .coverage = kCoverage" << index << "},\n";
  out << "constexpr uint8_t kCoverage" << index << "[] = {";
  for (size_t i = 0; i < coverage.size(); ++i) {
    out << (i % 24 == 0 ? "\n" : "") << static_cast<int>(coverage[i]) << ',';
  }
  out << "};\n";
  return true;
}

int Run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 4 || arguments.size() % 2 != 0) {
    std::fprintf(stderr, "usage: glyph_atlas_tool OUTPUT (FONT_FILE SIZE_PX)...\n");
    return 2;
  }
  FT_Library raw = nullptr;
  if (FT_Init_FreeType(&raw) != 0) return 1;
  const Library library(raw);
  std::ofstream out(arguments[1]);
  std::ostringstream table;
  out << "#include \"vfio/fake/glyph_atlas.h\"\n\nnamespace planecast {\nnamespace {\n\n";
  for (size_t i = 2; i < arguments.size(); i += 2) {
    const Face face = OpenFace(library.get(), arguments[i].c_str(),
                               static_cast<unsigned>(std::stoul(arguments[i + 1])));
    if (face == nullptr || !WriteFace(face.get(), i / 2, out, table)) {
      std::fprintf(stderr, "glyph_atlas_tool: %s is no usable font\n", arguments[i].c_str());
      return 1;
    }
  }
  out << "\nconstexpr GlyphFace kFaces[] = {\n"
      << table.str() << "};\n\n}  // namespace\n\n"
      << "const GlyphFace& FaceOf(Typeface typeface) {\n"
      << "  return kFaces[static_cast<int>(typeface)];\n}\n\n}  // namespace planecast\n";
  out.close();
  return out ? 0 : 1;
}

}  // namespace
}  // namespace planecast

int main(int argc, char** argv) {
  return planecast::Run(std::vector<std::string>(argv, argv + argc));
}
