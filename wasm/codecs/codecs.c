/*
 * What src/archive needs of libdeflate, liblzma, Zstandard and zlib: decoders that stop at the end of one stream, and encoders from
 * buffer to buffer. The caller owns the buffers; it gets them from codecs_alloc.
 */
#include <libdeflate.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define EXPORT(name) __attribute__((export_name(#name)))

/* Shared with src/archive/codecs.ts. */
enum kind { KIND_GZIP = 0, KIND_XZ = 1, KIND_ZSTD = 2 };
enum status { STATUS_MORE = 0, STATUS_END = 1, STATUS_DATA = -1, STATUS_MEMORY = -2, STATUS_UNSUPPORTED = -3 };

EXPORT(codecs_alloc) void *codecs_alloc(size_t size) { return malloc(size); }
EXPORT(codecs_free) void codecs_free(void *pointer) { free(pointer); }

typedef struct {
  /* Totals of the last run; the caller reads them from memory. */
  size_t consumed;
  size_t produced;
  enum kind kind;
  union {
    z_stream z;
    lzma_stream xz;
    ZSTD_DStream *zstd;
  } of;
} decoder;

static int start(decoder *d, size_t memory_limit) {
  switch (d->kind) {
    case KIND_GZIP:
      return inflateInit2(&d->of.z, 16 + MAX_WBITS) == Z_OK;
    case KIND_XZ:
      return lzma_stream_decoder(&d->of.xz, memory_limit, 0) == LZMA_OK;
    default:
      d->of.zstd = ZSTD_createDStream();
      return d->of.zstd != NULL;
  }
}

EXPORT(decoder_new) decoder *decoder_new(enum kind kind, size_t memory_limit) {
  decoder *d = calloc(1, sizeof *d);
  if (d == NULL) return NULL;
  d->kind = kind;
  if (start(d, memory_limit)) return d;
  free(d);
  return NULL;
}

EXPORT(decoder_free) void decoder_free(decoder *d) {
  if (d->kind == KIND_XZ) lzma_end(&d->of.xz);
  else if (d->kind == KIND_ZSTD) ZSTD_freeDStream(d->of.zstd);
  else inflateEnd(&d->of.z);
  free(d);
}

static enum status run_zlib(decoder *d, const void *in, size_t in_size, void *out, size_t out_size) {
  z_stream *z = &d->of.z;
  z->next_in = (Bytef *)in;
  z->avail_in = in_size;
  z->next_out = out;
  z->avail_out = out_size;
  int code = inflate(z, Z_NO_FLUSH);
  d->consumed = in_size - z->avail_in;
  d->produced = out_size - z->avail_out;
  if (code == Z_OK || code == Z_BUF_ERROR) return STATUS_MORE;
  if (code == Z_STREAM_END) return STATUS_END;
  return code == Z_MEM_ERROR ? STATUS_MEMORY : STATUS_DATA;
}

static enum status run_xz(decoder *d, const void *in, size_t in_size, void *out, size_t out_size) {
  lzma_stream *xz = &d->of.xz;
  xz->next_in = in;
  xz->avail_in = in_size;
  xz->next_out = out;
  xz->avail_out = out_size;
  lzma_ret code = lzma_code(xz, LZMA_RUN);
  d->consumed = in_size - xz->avail_in;
  d->produced = out_size - xz->avail_out;
  switch (code) {
    case LZMA_OK:
    case LZMA_BUF_ERROR:
      return STATUS_MORE;
    case LZMA_STREAM_END:
      return STATUS_END;
    case LZMA_MEM_ERROR:
    case LZMA_MEMLIMIT_ERROR:
      return STATUS_MEMORY;
    case LZMA_OPTIONS_ERROR:
      return STATUS_UNSUPPORTED;
    default:
      return STATUS_DATA;
  }
}

static enum status run_zstd(decoder *d, const void *in, size_t in_size, void *out, size_t out_size) {
  ZSTD_inBuffer from = {in, in_size, 0};
  ZSTD_outBuffer to = {out, out_size, 0};
  size_t code = ZSTD_decompressStream(d->of.zstd, &to, &from);
  d->consumed = from.pos;
  d->produced = to.pos;
  if (!ZSTD_isError(code)) return code == 0 ? STATUS_END : STATUS_MORE;
  switch (ZSTD_getErrorCode(code)) {
    case ZSTD_error_memory_allocation:
    case ZSTD_error_frameParameter_windowTooLarge:
      return STATUS_MEMORY;
    case ZSTD_error_dictionary_wrong:
    case ZSTD_error_frameParameter_unsupported:
      return STATUS_UNSUPPORTED;
    default:
      return STATUS_DATA;
  }
}

EXPORT(decoder_run)
enum status decoder_run(decoder *d, const void *in, size_t in_size, void *out, size_t out_size) {
  if (d->kind == KIND_XZ) return run_xz(d, in, in_size, out, out_size);
  if (d->kind == KIND_ZSTD) return run_zstd(d, in, in_size, out, out_size);
  return run_zlib(d, in, in_size, out, out_size);
}

/* The encoders return the size of the result, or 0 where it doesn't fit or memory runs out. */

/* A preset of xz (9 is 9, 9 + LZMA_PRESET_EXTREME is 9e) with its own lc and pb, and no larger a dictionary than needed. */
EXPORT(xz_encode)
size_t xz_encode(const void *in, size_t in_size, void *out, size_t out_size, uint32_t preset, uint32_t lc, uint32_t pb) {
  lzma_options_lzma options;
  if (lzma_lzma_preset(&options, preset)) return 0;
  options.lc = lc;
  options.pb = pb;
  while (options.dict_size / 2 >= in_size && options.dict_size / 2 >= LZMA_DICT_SIZE_MIN) options.dict_size /= 2;
  lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, NULL}};
  lzma_stream xz = LZMA_STREAM_INIT;
  /* The kernel's decoder knows no other check. */
  if (lzma_stream_encoder(&xz, filters, LZMA_CHECK_CRC32) != LZMA_OK) return 0;
  xz.next_in = in;
  xz.avail_in = in_size;
  xz.next_out = out;
  xz.avail_out = out_size;
  lzma_ret code = lzma_code(&xz, LZMA_FINISH);
  size_t size = out_size - xz.avail_out;
  lzma_end(&xz);
  return code == LZMA_STREAM_END ? size : 0;
}

EXPORT(zstd_encode)
size_t zstd_encode(const void *in, size_t in_size, void *out, size_t out_size, int level) {
  size_t size = ZSTD_compress(out, out_size, in, in_size, level);
  return ZSTD_isError(size) ? 0 : size;
}

/* window_bits as zlib has them: 16 more for a gzip header (whose time is 0). */
EXPORT(zlib_encode)
size_t zlib_encode(const void *in, size_t in_size, void *out, size_t out_size, int level, int window_bits) {
  z_stream z = {0};
  if (deflateInit2(&z, level, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY) != Z_OK) return 0;
  z.next_in = (Bytef *)in;
  z.avail_in = in_size;
  z.next_out = out;
  z.avail_out = out_size;
  int code = deflate(&z, Z_FINISH);
  size_t size = out_size - z.avail_out;
  deflateEnd(&z);
  return code == Z_STREAM_END ? size : 0;
}

/* Raw deflate, from 1 (twice as fast as zlib) to 12. */
EXPORT(deflate_encode)
size_t deflate_encode(const void *in, size_t in_size, void *out, size_t out_size, int level) {
  struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(level);
  if (compressor == NULL) return 0;
  size_t size = libdeflate_deflate_compress(compressor, in, in_size, out, out_size);
  libdeflate_free_compressor(compressor);
  return size;
}
